"""What a newcomer types: read, or answered with what to write instead."""

import pytest

from hardware_db import HardwareError, UnknownHardware, resolve

READ = {
    "i have a 3090": "rtx-3090",
    "my 3090": "rtx-3090",
    "i have two 3090s": "2x-rtx-3090",
    "pc with rtx 3060": "rtx-3060-12",
    "i have a pc with a 3060 and 32gb ram": "rtx-3060-12+32gb-ram",
    "a laptop with a 4060": "rtx-4060-laptop",
    "notebook, rtx 4070": "rtx-4070-laptop",
    "gaming pc with 2x 3090": "2x-rtx-3090",
    "server with 8x h100": "8x-h100-sxm",
    "16 gb ram laptop": "cpu+16gb-ram",
    "thinkpad with 16gb": "cpu+16gb-ram",
    "pc, 32gb ram": "cpu+32gb-ram",
    "100 h100s": "100x-h100-sxm",
    "x8 h100": "8x-h100-sxm",
    "16gb m4 macbook air": "apple-m4",
}


@pytest.mark.parametrize(("typed", "id_"), READ.items())
def test_words_around_a_name_are_read(typed: str, id_: str) -> None:
    assert resolve(typed).id == id_


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        ("16gb macbook air", "such as M5 16 GB"),
        ("24gb mac mini", "such as M5 Pro 24 GB"),
        ("two mac studios", "such as M5 Max"),
        ("my macbook pro", "such as M5 Pro"),
        ("apple silicon", "such as M5 Pro"),
        *(
            (name, "does not say what is in it: name its GPU, like 'rtx 4060 laptop'")
            for name in (
                *(
                    "laptop",
                    "gaming laptop",
                    "my laptop",
                    "my pc",
                    "this computer",
                    "thinkpad t480",
                ),
                *(
                    "i have an old laptop",
                    "desktop",
                    "server",
                    "cluster",
                    "chromebook",
                    "gaming pc",
                ),
            )
        ),
        ("gpu", "does not say which GPU: name it, like 'rtx 3060 12gb'"),
        ("16 gpus", "does not say which GPU"),
        ("just my cpu", "say how much RAM it has"),
        *(
            (name, "a phone or tablet")
            for name in ("iphone", "iphone 15 pro max", "ipad pro", "pixel 9", "galaxy s24 ultra")
        ),
    ],
)
def test_what_says_too_little_is_answered_with_what_to_write(typed: str, told: str) -> None:
    with pytest.raises(HardwareError) as caught:
        resolve(typed)
    assert told in str(caught.value)
    assert not isinstance(caught.value, UnknownHardware)


def test_a_long_row_of_such_words_is_refused_at_once() -> None:
    for typed in ("my " * 200, "pixel " + "1" * 200, "pc with " * 60, "16gb " * 60):
        with pytest.raises(HardwareError):
            resolve(typed)
