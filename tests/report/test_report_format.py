"""Numbers as people read them."""

import pytest

from simulator.report import format


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (13.7, "13.7 s"), (0.412, "412 ms"), (8.31e-6, "8.31 us"), (12e-9, "12 ns"), (0, "0 s"), (None, "n/a"),
        (0.9996, "1.00 s"), (0.9994, "999 ms"), (9.996, "10.0 s"), (119.4, "119 s"), (125, "2 min 5 s"), (120, "2 min"),
        (7200, "2 h"), (12_000, "3 h 20 min"), (99.97e-3, "100 ms"), (1e-3, "1.00 ms"), (1.5e-9, "1.50 ns"),
    ],
)  # fmt: skip
def test_durations_keep_three_digits_and_the_unit_that_fits(seconds, text):
    assert format.duration(seconds) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"), (96, "96 B"), (80 * 2**30, "80.0 GiB"), (2**30, "1.00 GiB"), (512 * 2**20, "512 MiB"),
        (1023 * 2**20, "1,023 MiB"), (5 * 2**40, "5.00 TiB"), (None, "n/a"),
    ],
)  # fmt: skip
def test_bytes_are_binary_units(count, text):
    assert format.bytes_text(count) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (4.6712, "4.67"), (9561.4, "9,561"), (123_456, "123,456"), (1_230_000, "1.23 M"), (999_999, "1.00 M"),
        (0.00123, "0.00123"), (175e9, "175 G"), (0, "0"), (None, "n/a"),
    ],
)  # fmt: skip
def test_quantities(value, text):
    assert format.quantity(value) == text


def test_rates_shares_and_flops():
    assert format.rate(1.234e6, "samples/s") == "1.23 M samples/s"
    assert format.rate(None, "samples/s") == "n/a"
    assert format.flops_per_s(1.6e14) == "160 TFLOP/s"
    assert format.percent(0.5119) == "51.2 %"
    assert format.percent(0.00001) == "< 0.1 %"
    assert format.percent(0) == "0 %"
    assert format.parameters(174_600_000_000) == "175 billion"
    assert format.parameters(9408) == "9,408"


@pytest.mark.parametrize("exponent", range(-12, 7))
@pytest.mark.parametrize("digits", [1.0, 1.005, 5.5, 9.994, 9.996])
def test_no_text_is_off_by_more_than_its_last_digit(exponent, digits):
    seconds = digits * 10.0**exponent
    text = format.duration(seconds)
    sizes = {"h": 3600, "min": 60, "s": 1, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}
    words = text.replace(",", "").split()
    back = sum(float(number) * sizes[unit] for number, unit in zip(words[::2], words[1::2], strict=True))
    assert back == pytest.approx(seconds, rel=0.006)


def test_the_axis_unit_fits_the_span():
    assert format.time_axis(13.7) == (1.0, "s")
    factor, unit = format.time_axis(0.4)
    assert (round(factor), unit) == (1000, "ms")


@pytest.mark.parametrize("text", ["13.7 s", "+51 %", "-3 points", "< 0.1 %", "n/a", "", "1,234"])
def test_numbers_are_told_from_words(text):
    assert format.reads_as_number(text)
    assert not format.reads_as_number(f"data {text}")


def test_a_network_that_begins_with_its_speed_is_a_name():
    assert not format.reads_as_number("25 Gb/s a node")
