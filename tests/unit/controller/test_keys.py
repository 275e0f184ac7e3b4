import stat
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from ol0.config import SecurityConfig, Signer
from ol0.controller.keys import make_keys
from ol0.controller.signing import Keyring
from ol0.errors import ConfigError
from support.examples import VERDICT


def configured(folder: Path, *, trusted: dict[Signer, str] | None = None) -> SecurityConfig:
    public = make_keys(folder, Signer) if trusted is None else trusted
    return SecurityConfig(
        signing={signer: folder / f"{signer}.key" for signer in Signer},
        trusted={signer: (text,) for signer, text in public.items()},
    )


def test_what_is_made_signs_and_is_believed(tmp_path: Path) -> None:
    ring = Keyring.of(configured(tmp_path / "keys"), "ol0", Signer.DRIFT)
    assert ring.flaw(ring.sign(VERDICT)) is None
    assert set(ring.signing) == {Signer.DRIFT}  # of the other private keys this process knows nothing


def test_private_keys_are_for_their_owner_alone(tmp_path: Path) -> None:
    make_keys(tmp_path / "keys", Signer)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "keys").iterdir()}
    assert modes == {f"{one}.key": 0o600 for one in Signer} | {f"{one}.pub": 0o644 for one in Signer}
    assert stat.S_IMODE((tmp_path / "keys").stat().st_mode) == 0o700


def test_no_key_is_ever_overwritten_not_even_one_of_several(tmp_path: Path) -> None:
    (tmp_path / "drift.pub").write_text("mine")
    with pytest.raises(ConfigError, match=r"drift\.pub: there already, and never overwritten"):
        make_keys(tmp_path, Signer)
    assert [path.name for path in tmp_path.iterdir()] == ["drift.pub"]


def test_a_key_that_everybody_may_read_is_refused(tmp_path: Path) -> None:
    config = configured(tmp_path)
    (tmp_path / "canary.key").chmod(0o644)
    with pytest.raises(ConfigError, match=r"may be read by everybody \(mode 644\): chmod 600"):
        Keyring.of(config, "ol0", Signer.CANARY)


@pytest.mark.parametrize(
    "content", [b"", b"garbage", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"]
)
def test_a_file_that_is_no_key_is_refused(tmp_path: Path, content: bytes) -> None:
    config = configured(tmp_path)
    (tmp_path / "canary.key").write_bytes(content)
    with pytest.raises(ConfigError, match=r"security\.signing\.canary: .* holds no ed25519 key"):
        Keyring.of(config, "ol0", Signer.CANARY)


def test_a_key_of_another_kind_is_refused(tmp_path: Path) -> None:
    config = configured(tmp_path)
    other = X25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (tmp_path / "drift.key").write_bytes(other)
    with pytest.raises(ConfigError, match="holds no ed25519 key"):
        Keyring.of(config, "ol0", Signer.DRIFT)


def test_a_missing_file_is_named_with_the_command_that_makes_it(tmp_path: Path) -> None:
    config = configured(tmp_path)
    (tmp_path / "drift.key").unlink()
    with pytest.raises(ConfigError, match=r"drift\.key: No such file or directory; `ol0 keys new`"):
        Keyring.of(config, "ol0", Signer.DRIFT)


def test_a_signer_without_a_key_is_refused_where_signatures_are_asked_for(tmp_path: Path) -> None:
    config = SecurityConfig(trusted=configured(tmp_path).trusted)
    with pytest.raises(ConfigError, match="what the learner says would be refused"):
        Keyring.of(config, "ol0", Signer.LEARNER)
    assert not Keyring.of(config, "ol0").signing  # release and SDK only ask


def test_a_key_that_nobody_believes_is_refused_at_start(tmp_path: Path) -> None:
    others = make_keys(tmp_path / "others", Signer)
    make_keys(tmp_path / "keys", Signer)
    with pytest.raises(ConfigError, match="this key is not trusted: add its public half"):
        Keyring.of(configured(tmp_path / "keys", trusted=others), "ol0", Signer.LEARNER)


@pytest.mark.parametrize("text", ["", "AAAA", "no base64!", "A" * 44])
def test_a_text_that_is_no_public_key_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError, match=r"security\.trusted\.learner: .* is not a public key"):
        Keyring.of(SecurityConfig(trusted=dict.fromkeys(Signer, (text,))), "ol0")
