import pytest
from pydantic import SecretStr

from ol0.config import RedisConfig
from ol0.errors import ConfigError
from ol0.replay.connection import FollowingTlsConnection, connect


def config(url: str) -> RedisConfig:
    return RedisConfig(url=SecretStr(url))


@pytest.mark.parametrize(
    ("url", "addresses"),
    [
        ("redis://store", (("store", 6379),)),
        ("redis://[::1]:7000/3", (("::1", 7000),)),
        ("redis+cluster://ann:p%40w@a:1,b/0", (("a", 1), ("b", 6379))),
        ("rediss+cluster://a:1,b:2", (("a", 1), ("b", 2))),
    ],
)
def test_every_address_of_a_url_is_one_to_try(url: str, addresses: tuple[tuple[str, int], ...]) -> None:
    options = connect(config(url)).connection_pool.connection_kwargs
    assert options["servers"].in_turn() == addresses


def test_user_password_database_and_options_are_the_same_for_all_of_them() -> None:
    pool = connect(config("rediss+cluster://ann:p%40w@a:1,b:2/3?ssl_cert_reqs=none")).connection_pool
    options = pool.connection_kwargs
    assert (options["username"], options["password"], options["db"]) == ("ann", "p@w", 3)
    assert options["ssl_cert_reqs"] == "none"
    assert pool.connection_class is FollowingTlsConnection


def test_the_passwords_of_sentinel_and_server_are_two() -> None:
    options = connect(
        config("redis+sentinel://:pw@a,b:2/main/1?sentinel_password=other")
    ).connection_pool.connection_kwargs
    assert (options["password"], options["db"]) == ("pw", 1)
    assert "sentinel_password" not in options


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("redis-sentinel://a:26379/main", "there is no scheme 'redis-sentinel'; it is of the form redis://"),
        ("sentinel://a:26379", "there is no scheme 'sentinel'"),
        ("a:6379", "there is no scheme 'a'"),
        ("redis+sentinel://a:26379", "the name of the master is missing"),
        ("redis://a:1,b:2", r"several hosts are redis\+cluster or redis\+sentinel"),
        ("redis://a:port", "Port could not be cast"),
        ("redis:///0", "'' is no host"),
        ("redis://a/zero", "'zero' is no number of a database"),
        ("redis://a?sokcet_timeout=1", "sokcet_timeout"),
        ("redis://a?socket_timeout=soon", "socket_timeout"),
        ("rediss://a?ssl_ca_certs=/none.pem", r"ssl_ca_certs: there is no /none\.pem"),
        ("rediss://a?ssl_cert_reqs=perhaps", "Invalid SSL Certificate Requirements Flag"),
        ("redis://a?ssl_ca_certs=pyproject.toml", "ssl_ca_certs"),
    ],
)
def test_a_url_that_leads_nowhere_is_a_wrong_setting(url: str, reason: str) -> None:
    with pytest.raises(ConfigError, match=rf"redis\.url .*{reason}"):
        connect(config(url))


@pytest.mark.parametrize("password", ["gehe/im", "gehe#im", "gehe?im", "gehe[im", "gehe@im"])
def test_no_error_shows_a_password_that_should_have_been_encoded_nor_a_piece_of_it(password: str) -> None:
    for url in (f"redis://ann:{password}@a:port/0", f"redis+sentinel://ann:{password}@a"):
        with pytest.raises(ConfigError, match="%2F") as refusal:
            connect(RedisConfig(url=SecretStr(url)))
        assert "gehe" not in str(refusal.value)


def test_no_error_shows_a_password() -> None:
    with pytest.raises(ConfigError) as refusal:
        connect(config("reddis://ann:geheim@a:1"))
    assert "geheim" not in str(refusal.value)
