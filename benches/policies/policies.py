"""Brokers with policies, and the policies: a simple one, and long ones."""

import json
import pathlib

import brokers

ARN = "arn:aws:iot:us-east-1:123456789012"


def simple(action="*"):
    return {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": f"iot:{action}", "Resource": "*"}]}


def long(number):
    """A policy about as long as one may be, with variables; `bench/…` is what the load publishes to."""
    own = ["${iot:ClientId}", "${iot:CertificateId}", "${iot:Certificate.Subject.CommonName}"]

    def statement(index):
        effect = "Deny" if index % 2 else "Allow"
        resources = [f"{ARN}:topic/plant/{own[part % 3]}/part/{number}{index}{part}/*" for part in range(4)]
        condition = {"Bool": {"iot:Connection.Thing.IsAttached": ["true", "false"]}}
        actions = ["iot:Publish", "iot:Receive"]
        return {"Effect": effect, "Action": actions, "Resource": resources, "Condition": condition}

    grant = {
        "Effect": "Allow",
        "Action": ["iot:Connect", "iot:Publish", "iot:Subscribe", "iot:Receive"],
        "Resource": [f"{ARN}:{kind}" for kind in ("client/ml*", "topic/bench/*", "topicfilter/*bench/*")],
    }
    statements = [statement(index) for index in range(3)]
    document = {"Version": "2012-10-17", "Statement": [*statements, grant]}
    length = len(json.dumps(document, separators=(",", ":")))
    document["Id"] = "x" * (2_048 - length - len(',"Id":""'))
    return document


def fleet(kind, certificate, others):
    """A fleet document in which the clients of the load have these policies; `others` is certificates by the name of
    a policy of their own."""
    documents = {"none": [], "one": [simple()], "ten": [long(number) for number in range(10)]}[kind]
    policies = {f"policy{number}": {"document": document} for number, document in enumerate(documents)}
    registered = {"certificate_file": str(certificate), "policies": list(policies)}
    certificates = [registered] if documents else []
    for name, file in others.items():
        policies[name] = {"document": simple()}
        certificates.append({"certificate_file": str(file), "policies": [name]})
    return {"policies": policies, "certificates": certificates}


class Roundel(brokers.Broker):
    """One of profile aws with some policies."""

    def __init__(self, binary, kind, certificates, others={}, http=False):
        super().__init__("roundel", certificates, 5)
        self.binary = binary
        self.http = brokers.free_port() if http else "off"
        file = pathlib.Path(self.folder.name) / "fleet.json"
        file.write_text(json.dumps(fleet(kind, certificates.folder / "load.certificate.pem", others)))
        config = pathlib.Path(self.folder.name) / "roundel.toml"
        config.write_text("[aws]\nanonymous_policy = 'policy0'\n" if kind != "none" else "")
        self.words = ["--config", config, "--registry", "memory", "--fleet", file, "--log", "error"]

    def command(self):
        ports = ["--mqtt-port", self.plain, "--mqtts-port", self.tls, "--http-port", self.http]
        return [self.binary, "serve", *ports, "--certs", self.certificates.folder, *self.words]
