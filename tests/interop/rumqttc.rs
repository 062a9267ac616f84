//! The matrix with rumqttc, the Rust client, in this process: one crate for MQTT 3.1.1, one for 5.

use std::fmt::Debug;
use std::fs;
use std::time::Duration;

use rumqttc_v5::QoS;
use tokio::runtime::Builder;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::broker::{Endpoint, HOST, Transport};
use crate::matrix::Version;
use crate::script::Outcome;

/// How long one step of a case may take before the case counts as failed.
const STEP: Duration = Duration::from_secs(15);

/// Runs the named cases one after the other.
pub(crate) fn outcomes(version: Version, endpoint: &Endpoint, cases: &[&str]) -> Vec<Outcome> {
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let run = |case: &&str| {
        let result = match version {
            Version::V4 => runtime.block_on(v4::case(endpoint, case)),
            Version::V5 => runtime.block_on(v5::case(endpoint, case)),
        };
        Outcome {
            case: (*case).to_owned(),
            error: result.err(),
        }
    };
    cases.iter().map(run).collect()
}

/// A message as the cases compare it: topic, payload, QoS, RETAIN.
type Message = (String, String, u8, bool);

/// What a client that connects is asked for.
#[derive(Default)]
struct Wishes {
    persistent: bool,
    will: Option<(&'static str, &'static str)>,
}

fn message(topic: &str, payload: impl ToString, qos: u8, retain: bool) -> Message {
    (topic.to_owned(), payload.to_string(), qos, retain)
}

fn check<T: PartialEq + Debug>(what: &str, got: T, want: T) -> Result<(), String> {
    if got == want {
        Ok(())
    } else {
        Err(format!("{what}: got {got:?}, want {want:?}"))
    }
}

/// The result of a step, with what failed named, and an error once the deadline has passed.
async fn step<T, E: Debug>(
    what: &str,
    future: impl Future<Output = Result<T, E>>,
) -> Result<T, String> {
    match timeout(STEP, future).await {
        Ok(result) => result.map_err(|error| format!("{what}: {error:?}")),
        Err(_) => Err(format!("{what}: nothing within the deadline")),
    }
}

fn level(qos: u8) -> QoS {
    match qos {
        0 => QoS::AtMostOnce,
        1 => QoS::AtLeastOnce,
        _ => QoS::ExactlyOnce,
    }
}

/// The two crates have the same shape but share no type; `$adapt` is where they differ.
macro_rules! client {
    ($module:ident, $rumqttc:ident, $will:expr, $persist:expr) => {
        mod $module {
            use $rumqttc::{
                AsyncClient, Broker, Event, EventLoop, LastWill, MqttOptions, Packet,
                PublishOptions, SubscribeReasonCode, TlsConfiguration, Transport as Wire,
            };

            use super::*;

            /// A connected client. Dropping it ends the connection without a DISCONNECT packet.
            struct Peer {
                client: AsyncClient,
                messages: UnboundedReceiver<Message>,
                session_present: bool,
                pump: JoinHandle<()>,
            }

            impl Peer {
                async fn connect(
                    endpoint: &Endpoint,
                    name: &str,
                    wishes: Wishes,
                ) -> Result<Self, String> {
                    let mut options = options(endpoint, &format!("rumqttc-{name}"))?;
                    options.set_keep_alive(60);
                    if let Some((topic, payload)) = wishes.will {
                        let will: fn(&str, &str) -> LastWill = $will;
                        options.set_last_will(will(topic, payload));
                    }
                    if wishes.persistent {
                        let persist: fn(&mut MqttOptions) = $persist;
                        persist(&mut options);
                    }
                    let (client, events) = AsyncClient::builder(options).capacity(100).build();
                    let (connected, connack) = oneshot::channel();
                    let (received, messages) = unbounded_channel();
                    let pump = tokio::spawn(async move {
                        pump(events, connected, |message| {
                            // The case that waited for it is over.
                            let _ = received.send(message);
                        })
                        .await;
                    });
                    let session_present = step("CONNACK", connack).await??;
                    Ok(Self {
                        client,
                        messages,
                        session_present,
                        pump,
                    })
                }

                /// Waits for SUBACK and returns the granted QoS.
                async fn subscribe(&self, filter: &str, qos: u8) -> Result<u8, String> {
                    let notice = self.client.subscribe_tracked(filter, level(qos)).await;
                    let notice = notice.map_err(|error| format!("SUBSCRIBE: {error}"))?;
                    let suback = step("SUBACK", notice.wait_async()).await?;
                    match suback.return_codes[..] {
                        [SubscribeReasonCode::Success(granted)] => Ok(granted as u8),
                        ref refused => Err(format!("SUBACK: {refused:?}")),
                    }
                }

                /// Waits until the exchange of this QoS is complete.
                async fn publish(
                    &self,
                    topic: &str,
                    payload: impl ToString,
                    qos: u8,
                    retain: bool,
                ) -> Result<(), String> {
                    let options = PublishOptions::new(level(qos)).retain(retain);
                    let payload = payload.to_string();
                    let notice = self.client.publish_tracked(topic, payload, options).await;
                    let notice = notice.map_err(|error| format!("PUBLISH: {error}"))?;
                    step("acknowledgement", notice.wait_async()).await.map(drop)
                }

                /// Fails unless the next message is the wanted one.
                async fn expect(&mut self, want: Message) -> Result<(), String> {
                    let next = async { self.messages.recv().await.ok_or("connection lost") };
                    check("message", step("message", next).await?, want)
                }

                /// Sends DISCONNECT and waits until the connection is closed.
                async fn disconnect(self) -> Result<(), String> {
                    step("DISCONNECT", self.client.disconnect()).await?;
                    step("end of connection", self.pump).await
                }

                /// Ends the connection without a DISCONNECT packet.
                fn crash(self) {
                    self.pump.abort();
                }
            }

            fn options(endpoint: &Endpoint, id: &str) -> Result<MqttOptions, String> {
                let port = endpoint.port;
                let tls = || {
                    let read = |path| fs::read(path).expect("the certificate was issued");
                    let identity = &endpoint.identity;
                    TlsConfiguration::Simple {
                        ca: read(&identity.ca),
                        alpn: None,
                        client_auth: Some((read(&identity.cert), read(&identity.key))),
                    }
                };
                let url = |scheme| format!("{scheme}://{HOST}:{port}/mqtt");
                let options = match endpoint.transport {
                    Transport::Tcp => Ok(MqttOptions::new(id, (HOST, port))),
                    Transport::Tls => {
                        let mut options = MqttOptions::new(id, (HOST, port));
                        options.set_transport(Wire::tls_with_config(tls()));
                        Ok(options)
                    }
                    Transport::Ws => Broker::websocket(url("ws")).map(|broker| {
                        let mut options = MqttOptions::new(id, broker);
                        options.set_transport(Wire::Ws);
                        options
                    }),
                    Transport::Wss => MqttOptions::websocket_with_tls_config(id, url("wss"), tls()),
                };
                options.map_err(|error| format!("options: {error}"))
            }

            /// Drives one connection until it ends; there is no second attempt.
            async fn pump(
                mut events: EventLoop,
                connected: oneshot::Sender<Result<bool, String>>,
                received: impl Fn(Message),
            ) {
                let mut connected = Some(connected);
                let mut report = |result| {
                    if let Some(connected) = connected.take() {
                        // The case that waited for it is over.
                        let _ = connected.send(result);
                    }
                };
                loop {
                    match events.poll().await {
                        Ok(Event::Incoming(Packet::ConnAck(connack))) => {
                            report(Ok(connack.session_present));
                        }
                        Ok(Event::Incoming(Packet::Publish(publish))) => received(message(
                            &String::from_utf8_lossy(&publish.topic),
                            String::from_utf8_lossy(&publish.payload),
                            publish.qos as u8,
                            publish.retain,
                        )),
                        Ok(_) => {}
                        Err(error) => {
                            report(Err(error.to_string()));
                            return;
                        }
                    }
                }
            }

            /// Runs the named case.
            pub(super) async fn case(endpoint: &Endpoint, name: &str) -> Result<(), String> {
                match name {
                    "qos0" => one_message(endpoint, 0).await,
                    "qos1" => one_message(endpoint, 1).await,
                    "qos2" => one_message(endpoint, 2).await,
                    "shared" => shared(endpoint).await,
                    "will" => will(endpoint).await,
                    "retained" => retained(endpoint).await,
                    "resume" => resume(endpoint).await,
                    other => Err(format!("unknown case {other:?}")),
                }
            }

            async fn connect(endpoint: &Endpoint, name: &str) -> Result<Peer, String> {
                Peer::connect(endpoint, name, Wishes::default()).await
            }

            async fn one_message(endpoint: &Endpoint, qos: u8) -> Result<(), String> {
                let topic = format!("qos{qos}/a");
                let mut receiver = connect(endpoint, "sub").await?;
                let granted = receiver.subscribe(&format!("qos{qos}/+"), qos).await?;
                check("granted QoS", granted, qos)?;
                let sender = connect(endpoint, "pub").await?;
                for payload in ["first", "second"] {
                    sender.publish(&topic, payload, qos, false).await?;
                }
                for payload in ["first", "second"] {
                    receiver
                        .expect(message(&topic, payload, qos, false))
                        .await?;
                }
                Ok(())
            }

            async fn shared(endpoint: &Endpoint) -> Result<(), String> {
                let mut members = [
                    connect(endpoint, "shared-0").await?,
                    connect(endpoint, "shared-1").await?,
                ];
                for member in &members {
                    let granted = member.subscribe("$share/group/shared/+", 1).await?;
                    check("granted QoS", granted, 1)?;
                }
                let sender = connect(endpoint, "pub").await?;
                for n in 0..10 {
                    sender.publish("shared/a", n, 1, false).await?;
                }
                for n in 0..5 {
                    for (turn, member) in members.iter_mut().enumerate() {
                        member
                            .expect(message("shared/a", 2 * n + turn, 1, false))
                            .await?;
                    }
                }
                Ok(())
            }

            async fn will(endpoint: &Endpoint) -> Result<(), String> {
                let mut watcher = connect(endpoint, "watcher").await?;
                watcher.subscribe("will/gone", 1).await?;
                let wishes = Wishes {
                    will: Some(("will/gone", "gone")),
                    ..Wishes::default()
                };
                Peer::connect(endpoint, "owner", wishes).await?.crash();
                watcher.expect(message("will/gone", "gone", 1, false)).await
            }

            async fn retained(endpoint: &Endpoint) -> Result<(), String> {
                let sender = connect(endpoint, "pub").await?;
                sender.publish("retained/a", "kept", 1, true).await?;
                let mut receiver = connect(endpoint, "sub").await?;
                receiver.subscribe("retained/a", 1).await?;
                receiver
                    .expect(message("retained/a", "kept", 1, true))
                    .await?;
                sender.publish("retained/a", "live", 1, true).await?;
                receiver
                    .expect(message("retained/a", "live", 1, false))
                    .await?;
                sender.publish("retained/a", "", 1, true).await?;
                let mut late = connect(endpoint, "late").await?;
                late.subscribe("retained/a", 1).await?;
                sender.publish("retained/a", "after", 1, false).await?;
                late.expect(message("retained/a", "after", 1, false)).await
            }

            async fn resume(endpoint: &Endpoint) -> Result<(), String> {
                let wishes = || Wishes {
                    persistent: true,
                    ..Wishes::default()
                };
                let first = Peer::connect(endpoint, "resume", wishes()).await?;
                check("session present", first.session_present, false)?;
                first.subscribe("resume/a", 1).await?;
                first.disconnect().await?;
                let sender = connect(endpoint, "pub").await?;
                for n in 0..3 {
                    sender.publish("resume/a", n, 1, false).await?;
                }
                let mut again = Peer::connect(endpoint, "resume", wishes()).await?;
                check("session present", again.session_present, true)?;
                for n in 0..3 {
                    again.expect(message("resume/a", n, 1, false)).await?;
                }
                Ok(())
            }
        }
    };
}

client!(
    v4,
    rumqttc_v4,
    |topic, payload| LastWill::new(topic, payload, QoS::AtLeastOnce, false),
    |options| {
        options.set_session_mode(rumqttc_v4::SessionMode::Persistent);
    }
);
client!(
    v5,
    rumqttc_v5,
    |topic, payload| LastWill::new(topic, payload, QoS::AtLeastOnce, false, None),
    |options| {
        options.set_session_mode(rumqttc_v5::SessionMode::Persistent);
        options.set_session_expiry_interval(Some(300));
        // Another process, as it were, without the state of the first one.
        options.set_broker_session_resume_policy(
            rumqttc_v5::BrokerSessionResumePolicy::AllowBrokerOnly,
        );
    }
);
