"""Keys, requests and certificates of an authority that the broker does not know."""

import datetime

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

DAY = datetime.timedelta(days=1)


def key(curve=ec.SECP256R1):
    return ec.generate_private_key(curve())


def rsa_key(bits):
    return rsa.generate_private_key(public_exponent=65537, key_size=bits)


def pem(thing):
    """A certificate or a request as PEM text."""
    return thing.public_bytes(serialization.Encoding.PEM).decode()


def public_pem(private_key):
    public = private_key.public_key()
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return public.public_bytes(serialization.Encoding.PEM, form).decode()


def fingerprint(text):
    """SHA-256 of the DER, which is the id of a certificate."""
    return x509.load_pem_x509_certificate(text.encode()).fingerprint(hashes.SHA256()).hex()


def request(private_key, name="mine"):
    """A certificate signing request."""
    builder = x509.CertificateSigningRequestBuilder().subject_name(_name(name))
    return pem(builder.sign(private_key, hashes.SHA256()))


def _name(text):
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, text)])


class Authority:
    """A CA with a key of its own."""

    def __init__(self, name):
        self.name = name
        self._key = key()
        self.certificate = pem(self._sign(name, self._key.public_key(), is_ca=True))

    def issue(self, name, public_key=None):
        """A certificate of a client, PEM."""
        return pem(self._sign(name, public_key or key().public_key(), is_ca=False))

    def _sign(self, name, public_key, is_ca):
        now = datetime.datetime.now(datetime.timezone.utc)
        builder = x509.CertificateBuilder(
            subject_name=_name(name),
            issuer_name=_name(self.name),
            public_key=public_key,
            serial_number=x509.random_serial_number(),
            not_valid_before=now - DAY,
            not_valid_after=now + 30 * DAY,
        )
        constraints = x509.BasicConstraints(ca=is_ca, path_length=None)
        builder = builder.add_extension(constraints, critical=True)
        return builder.sign(self._key, hashes.SHA256())
