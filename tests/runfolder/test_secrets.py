"""What is masked before it is published, and what is left alone."""

from __future__ import annotations

import pytest

from chandir.runfolder.secrets import mask, masked, named


@pytest.mark.parametrize(
    ("text", "published"),
    [
        ("python run.py tracker.api_key=abc trial=0", "python run.py tracker.api_key=*** trial=0"),
        ("run.py +x.TOKEN='a b' y=1", "run.py +x.TOKEN=*** y=1"),
        ("run.py my_secret=\"a b\"", "run.py my_secret=***"),
        ("a=hf_abcdefghijklmnopqrstuv", "a=***"),
        ("a=ghp_abcdefghijklmnopqrstuvwxyz0123", "a=***"),
        ("proxy=https://joe:word@host/x", "proxy=https://***@host/x"),
        ("'data.root=/home/joe/data' x=/Users/ann/r", "'data.root=~/data' x=~/r"),
        ("paths.results=/root/x /root", "paths.results=~/x ~"),
    ],
)  # fmt: skip
def test_secrets_and_homes_are_masked(text: str, published: str) -> None:
    assert masked(text) == published


@pytest.mark.parametrize(
    "text",
    [
        "python run.py -m task=cifar10 metric=sobolev 'trial=range(25)' optimizer.lr=1e-3",
        "data.root=/rooted/x paths.results=/data/home/x task.data_set=keys",
        "commit 0123456789abcdef0123456789abcdef01234567",
        "sk-learn, tokenizer=bpe, monkey=1, author=joe",
    ],
)
def test_what_is_none_stays(text: str) -> None:
    assert masked(text) == text


def test_settings_are_masked_by_name_wherever_they_stand() -> None:
    config = {"tracker": {"api_key": "abc", "entity": None}, "keys": ["a"], "trial": 0,
              "tokens": ["x", 1], "paths": {"results": "/home/joe/runs"}}  # fmt: skip
    assert mask(config) == {
        "tracker": {"api_key": "***", "entity": None}, "keys": ["a"], "trial": 0,
        "tokens": ["***", 1], "paths": {"results": "~/runs"},
    }  # fmt: skip
    assert config["trial"] == 0
    assert not named("metric.lam")
