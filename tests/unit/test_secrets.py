import pytest

from ol0.secrets import MASK, is_secret, masked, masked_url, without_password


@pytest.mark.parametrize(
    "name",
    [
        "sasl.password",
        "ssl.key.password",
        "ssl.key.pem",
        "ssl_key",
        "ssl.keystore.password",
        "sasl.oauthbearer.client.secret",
        "sasl.oauthbearer.config",
        "sasl.oauthbearer.assertion.private.key.pem",
        "sasl.oauthbearer.assertion.private.key.passphrase",
        "SASL.PASSWORD",
    ],
)
def test_a_secret_is_known_by_its_name(name: str) -> None:
    assert is_secret(name)


@pytest.mark.parametrize(
    "name", ["sasl.username", "ssl.key.location", "ssl.certificate.pem", "ssl.ca.pem", "security.protocol", "linger.ms"]
)
def test_what_helps_to_find_a_mistake_stays_readable(name: str) -> None:
    assert masked({name: "shown"}) == {name: "shown"}


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://:pw@a:1/0", f"redis://:{MASK}@a:1/0"),
        ("rediss://ann:p:w@a:1,b:2/0", f"rediss://ann:{MASK}@a:1,b:2/0"),
        ("redis+sentinel://ann:pw@a:1/main?password=geheim", f"redis+sentinel://ann:{MASK}@a:1/main?password={MASK}"),
        ("redis://a:1/0", "redis://a:1/0"),
        ("redis://ann:p/w#?@a:1/0", f"redis://ann:{MASK}@a:1/0"),
        ("rediss://a/0?ssl_password=p@w&ssl_keyfile=k", f"rediss://a/0?ssl_password={MASK}&ssl_keyfile=k"),
    ],
)
def test_a_url_is_shown_without_its_password(url: str, shown: str) -> None:
    assert masked_url(url) == shown


def test_a_url_among_the_options_too() -> None:
    assert masked({"https.proxy": "http://ann:pw@proxy"}) == {"https.proxy": f"http://ann:{MASK}@proxy"}


def test_the_words_of_an_error_about_a_url_repeat_no_piece_of_its_password() -> None:
    said = without_password("Port could not be cast to integer value as 'gehe'", "redis://ann:gehe/im@a")
    assert said == f"Port could not be cast to integer value as '{MASK}'"
