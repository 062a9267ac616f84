//! A broker in the same process, as a test would start one.

use roundel::{Config, Message, QoS, Server};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let server = Server::start(Config::standard().ephemeral()).await?;
    let mut cars = server.subscribe("cars/+", QoS::AtLeastOnce)?;
    server.publish(&Message::new("cars/1", "75"))?;
    if let Some(message) = cars.next().await {
        assert_eq!(
            (message.topic.as_str(), &*message.payload),
            ("cars/1", &b"75"[..])
        );
    }
    server.stop().await;
    Ok(())
}
