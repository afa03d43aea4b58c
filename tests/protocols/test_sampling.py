import numpy as np

from fullbatch.protocols.sampling import uniform_of_rows


def test_pure_function_of_row_number_and_seed():
    whole = uniform_of_rows(0, 1000, seed=3)
    pieces = [uniform_of_rows(start, 100, seed=3) for start in range(0, 1000, 100)]
    np.testing.assert_array_equal(np.concatenate(pieces), whole)
    assert not np.array_equal(whole, uniform_of_rows(0, 1000, seed=4))
    assert not np.array_equal(whole, uniform_of_rows(0, 1000, seed=-3))


def test_known_values_of_splitmix64():
    # The first outputs of the generator seeded with 0 hash the states 0, gamma, 2 gamma ...: row 0 of a stream that
    # starts at hash(seed). Worked out by hand with Python integers.
    def splitmix64(z):
        mask = 2**64 - 1
        z = (z + 0x9E3779B97F4A7C15) & mask
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & mask
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & mask
        return z ^ (z >> 31)

    assert splitmix64(0) == 0xE220A8397B1DCDAF  # published
    start = splitmix64(7)
    expected = [(splitmix64((row + start) % 2**64) >> 11) * 2.0**-53 for row in range(50, 60)]
    assert uniform_of_rows(50, 10, seed=7).tolist() == expected


def test_uniform():
    sample = uniform_of_rows(10**12, 200_000, seed=0)
    assert 0 <= sample.min() < sample.max() < 1
    counts = np.histogram(sample, 20, (0, 1))[0]
    assert np.abs(counts - 10_000).max() < 5 * np.sqrt(10_000)
