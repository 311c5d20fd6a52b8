"""Certificates of a cluster made with OpenSSL, as docs/security.md shows, for Secrets."""

import base64
import pathlib
import tempfile

from cluster import run


def make_certificates(names_of_roles):
    """A CA, and a certificate of it for each role with its DNS names: {role: {file: base64}}."""
    with tempfile.TemporaryDirectory() as directory:
        folder = pathlib.Path(directory)
        key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
        run(["openssl", "req", "-x509", *key, "-days", "2", "-subj", "/CN=test CA",
             "-keyout", f"{folder}/ca.key", "-out", f"{folder}/ca.pem"])
        secrets = {}
        for role, names in names_of_roles.items():
            (folder / "names").write_text(
                "subjectAltName=" + ",".join(f"DNS:{name}" for name in names) + "\n",
                encoding="utf-8")
            run(["openssl", "req", "-new", *key, "-subj", f"/CN={role}",
                 "-keyout", f"{folder}/key", "-out", f"{folder}/request"])
            run(["openssl", "x509", "-req", "-in", f"{folder}/request", "-CA", f"{folder}/ca.pem",
                 "-CAkey", f"{folder}/ca.key", "-CAcreateserial", "-days", "2",
                 "-extfile", f"{folder}/names", "-out", f"{folder}/certificate"])
            secrets[role] = {"tls.crt": _base64(folder / "certificate"),
                             "tls.key": _base64(folder / "key"),
                             "ca.crt": _base64(folder / "ca.pem")}
        return secrets


def _base64(path):
    return base64.b64encode(path.read_bytes()).decode()
