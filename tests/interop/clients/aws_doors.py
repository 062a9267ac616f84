"""Clients of the service at its ports 443 and 8443, which are other ports here.

Prints one JSON object per case and line, as the clients of the matrix do.
"""

import argparse
import http.client
import json
import ssl
import uuid

import boto3
from awscrt import auth, io, mqtt, mqtt5
from awsiot import mqtt5_client_builder, mqtt_connection_builder
from botocore.exceptions import ClientError

import sdk
from cases import DEADLINE_S, check

REGION = "us-east-1"

PARSER = argparse.ArgumentParser(description=__doc__)
PARSER.add_argument("--alpn-port", type=int, required=True)
PARSER.add_argument("--https-port", type=int, required=True)
PARSER.add_argument("--ca", required=True)
PARSER.add_argument("--cert", required=True)
PARSER.add_argument("--key", required=True)
ARGS = PARSER.parse_args()


def enters(make):
    """Whether a client of MQTT 5, made with these callbacks, connects and publishes."""
    with sdk.Entrant(make) as entrant:
        if not entrant.is_connected:
            return False
        packet = mqtt5.PublishPacket(topic="t", payload="x", qos=mqtt5.QoS.AT_LEAST_ONCE)
        return int(entrant.client.publish(packet).result(DEADLINE_S).puback.reason_code) == 0


def with_alpn(*names):
    """A client of the Common Runtime that offers these protocols."""
    options = io.TlsContextOptions.create_client_with_mtls_from_path(ARGS.cert, ARGS.key)
    options.override_default_trust_store_from_path(None, ARGS.ca)
    options.alpn_list = list(names)

    def make(on_lifecycle_connection_success, on_lifecycle_connection_failure, on_lifecycle_stopped):
        return mqtt5.Client(mqtt5.ClientOptions(
            host_name="localhost",
            port=ARGS.alpn_port,
            tls_ctx=io.ClientTlsContext(options),
            connect_options=mqtt5.ConnectPacket(client_id=f"crt-{uuid.uuid4().hex}"),
            on_lifecycle_event_connection_success_fn=on_lifecycle_connection_success,
            on_lifecycle_event_connection_failure_fn=on_lifecycle_connection_failure,
            on_lifecycle_event_stopped_fn=on_lifecycle_stopped))

    return make


def mqtt_by_alpn():
    check("with a certificate", enters(with_alpn("x-amzn-mqtt-ca")), True)
    check("for an authorizer", enters(with_alpn("mqtt")), True)
    check("several", enters(with_alpn("http/1.1", "x-amzn-mqtt-ca")), True)
    check("none that there is", enters(with_alpn("h2")), False)


def mqtt_with_the_port_of_the_builder():
    """The SDK offers no ALPN at ports other than 443."""
    check("it enters", enters(lambda **callbacks: mqtt5_client_builder.mtls_from_path(
        endpoint="localhost", port=ARGS.alpn_port, cert_filepath=ARGS.cert, pri_key_filepath=ARGS.key,
        ca_filepath=ARGS.ca, client_id=f"sdk-{uuid.uuid4().hex}", **callbacks)), True)


def websocket_with_the_builder():
    credentials = auth.AwsCredentialsProvider.new_static("test", "test")
    client = mqtt_connection_builder.websockets_with_default_aws_signing(
        endpoint="localhost", port=ARGS.alpn_port, region=REGION, ca_filepath=ARGS.ca,
        credentials_provider=credentials, client_id="browser", clean_session=True)
    client.connect().result(DEADLINE_S)
    published, _ = client.publish("t", "x", mqtt.QoS.AT_LEAST_ONCE)
    published.result(DEADLINE_S)
    client.disconnect().result(DEADLINE_S)


def answer(port, alpn, method, target, body=None):
    """Status and body of a call with the certificate."""
    context = ssl.create_default_context(cafile=ARGS.ca)
    context.load_cert_chain(ARGS.cert, ARGS.key)
    if alpn:
        context.set_alpn_protocols([alpn])
    connection = http.client.HTTPSConnection("localhost", port, context=context, timeout=DEADLINE_S)
    connection.request(method, target, body)
    response = connection.getresponse()
    found = response.status, json.loads(response.read())
    check("protocol", connection.sock.selected_alpn_protocol(), alpn)
    connection.close()
    return found


def devices_publish_over_https():
    for port, alpn in [(ARGS.https_port, None), (ARGS.alpn_port, "x-amzn-http-ca"), (ARGS.alpn_port, None)]:
        status, body = answer(port, alpn, "POST", "/topics/a%2Fb?qos=1", b"hello")
        check("published", (status, body["message"]), (200, "OK"))
    status, _ = answer(ARGS.https_port, None, "GET", "/things")
    check("no control plane", status, 403)


def planes_over_https():
    """What a program calls that builds https:// from the answer of DescribeEndpoint."""
    def client(service):
        return boto3.client(service, endpoint_url=f"https://localhost:{ARGS.alpn_port}", region_name=REGION,
                            verify=ARGS.ca, aws_access_key_id="test", aws_secret_access_key="test")

    iot, data = client("iot"), client("iot-data")
    check("endpoint", iot.describe_endpoint(endpointType="iot:Data-ATS")["endpointAddress"], "localhost")
    iot.create_thing(thingName="car")
    check("things", [thing["thingName"] for thing in iot.list_things()["things"]], ["car"])
    data.publish(topic="a/b", qos=1, retain=True, payload=b"kept")
    check("payload", data.get_retained_message(topic="a/b")["payload"], b"kept")
    data.update_thing_shadow(thingName="car", payload=json.dumps({"state": {"reported": {"a": 1}}}))
    shadow = json.loads(data.get_thing_shadow(thingName="car")["payload"].read())
    check("shadow", shadow["state"], {"reported": {"a": 1}})
    try:
        data.get_retained_message(topic="nothing")
    except ClientError as error:
        check("error", error.response["Error"]["Code"], "ResourceNotFoundException")
    else:
        raise AssertionError("there is such a message")


sdk.report_and_exit([
    mqtt_by_alpn,
    mqtt_with_the_port_of_the_builder,
    websocket_with_the_builder,
    devices_publish_over_https,
    planes_over_https,
])
