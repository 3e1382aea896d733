"""Tables of counts and of samples: what is read, and what is refused and where."""

import gzip
import warnings

import numpy as np
import pytest

pytest.importorskip("pandas")

from diffbio_eqx.data import SampleTable
from diffbio_eqx.io.count_tables import match_samples, read_counts, read_samples
from diffbio_eqx.io.result_tables import write_gene_table

GOOD = "gene\ts1\ts2\ts3\nA\t1\t2\t3\nB\t0\t0\t7\nC\t10\t20\t30\n"


@pytest.fixture
def file(tmp_path):
    def write(text, name="counts.tsv"):
        path = tmp_path / name
        data = text if isinstance(text, bytes) else text.encode()
        path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
        return path

    return write


def read(path, samples=None):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return read_counts(path, samples)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        (GOOD, "counts.tsv"),
        (GOOD, "counts.tsv.gz"),
        (GOOD.replace("\t", ","), "counts.csv"),
        (GOOD.replace("\t", ";"), "counts.csv"),
        (GOOD.replace("\t", " "), "counts.txt"),
        (GOOD.replace("\n", "\r\n"), "counts.tsv"),
        ("\ufeff" + GOOD, "counts.tsv"),
        (GOOD.replace("gene\t", "", 1), "counts.tsv"),
        (GOOD.replace("gene\t", "\t", 1), "counts.tsv"),
        ("# made by hand\n\n" + GOOD, "counts.tsv"),
        (GOOD + "\n\n", "counts.tsv"),
        (GOOD.replace("\t2\t", "\t2.0\t"), "counts.tsv"),
        ('"gene","s1","s2","s3"\n"A",1,2,3\n"B",0,0,7\n"C",10,20,30\n', "c.csv"),
    ],
)
def test_counts_are_read(file, text, name):
    table = read(file(text, name))
    assert table.genes == ("A", "B", "C") and table.samples == ("s1", "s2", "s3")
    np.testing.assert_array_equal(table.counts, [[1, 0, 10], [2, 0, 20], [3, 7, 30]])
    assert table.counts.dtype == np.float64 and not table.flipped


def test_samples_in_rows_are_recognised(file):
    table = read(file(GOOD), samples=["A", "B", "C"])
    assert table.samples == ("A", "B", "C") and table.flipped
    np.testing.assert_array_equal(table.counts[0], [1, 2, 3])


def test_names_with_commas_and_genes_called_na(file):
    text = 'gene,s1,s2\n"Y,1",1,2\nNA,3,4\nnan,5,6\n'
    table = read(file(text))
    assert table.genes == ("Y,1", "NA", "nan")


def test_feature_counts(file):
    head = "# Program:featureCounts v2.0.3\nGeneid\tChr\tStart\tEnd\tStrand\tLength\t"
    text = head + "s1\ts2\nA\tchr1;chr1\t1;5\t2;9\t+;+\t7\t3\t4\n"
    table = read(file(text))
    assert table.samples == ("s1", "s2") and table.counts.tolist() == [[3], [4]]


def test_rows_of_htseq_that_are_no_genes_are_left_out_aloud(file):
    text = GOOD + "__no_feature\t9\t9\t9\n__ambiguous\t8\t8\t8\n"
    with pytest.warns(UserWarning, match="2 rows of htseq-count"):
        table = read_counts(file(text))
    assert table.genes == ("A", "B", "C")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ["empty file"]),
        ("\n \n", ["empty file"]),
        ("gene\ts1\ts2\n", ["only a header"]),
        ("# nothing\n", ["only comments"]),
        (GOOD.replace("20", "2.5"), ["line 4", "(C)", "'s2'", "'2.5'", "raw counts"]),
        (GOOD.replace("20", "-2"), ["line 4", "'s2'", "'-2'"]),
        (GOOD.replace("20", "NA"), ["line 4", "'s2'", "'NA'"]),
        (GOOD.replace("20", ""), ["line 4", "'s2'", "''"]),
        (GOOD.replace("20", "many"), ["line 4", "'many'"]),
        (GOOD.replace("20", "inf"), ["line 4", "'inf'"]),
        (GOOD.replace("20", "20\t9"), ["line 4", "4 cells", "got 5"]),
        (GOOD.replace("\t20", ""), ["line 4", "4 cells", "got 3"]),
        ("# x\n" + GOOD.replace("20", "x"), ["line 5", "'x'"]),
        ("gene\ts1\ts2\nA\t1\n", ["line 2", "3 cells", "got 2"]),
        (GOOD.replace("C\t", "A\t"), ["gene 'A' in rows 1 and 3", "Ensembl"]),
        (GOOD.replace("s3", "s1"), ["sample 's1' in columns 1 and 3"]),
        (b"PK\x03\x04 and so on", ["Excel"]),
        (b"\x89HDF\r\n", ["HDF5"]),
        (GOOD.encode("utf-16"), ["UTF-16"]),
        (gzip.compress(GOOD.encode(), mtime=0)[:30], ["truncated or damaged"]),
    ],
)
def test_bad_counts(file, text, words):
    path = file(text)
    with pytest.raises(ValueError) as error:
        read(path)
    message = str(error.value)
    assert "\n" not in message and "counts.tsv" in message
    for word in words:
        assert word in message


def test_counts_that_are_not_there(tmp_path):
    with pytest.raises(FileNotFoundError, match="counts not found"):
        read_counts(tmp_path / "no.tsv")


def test_many_counts_are_read_fast(file):
    import time

    draw = np.random.default_rng(0).poisson(50, (4000, 100))
    rows = [f"g{i}," + ",".join(map(str, row)) for i, row in enumerate(draw.tolist())]
    path = file("," + ",".join(f"s{i}" for i in range(100)) + "\n" + "\n".join(rows))
    start = time.process_time()
    table = read(path)
    assert time.process_time() - start < 2
    np.testing.assert_array_equal(table.counts, draw.T)


def test_samples_are_read(file):
    text = "sample,dex,age,batch\ns1,trt,30,1a\ns2,untrt,,2a\ns3,NA,41.5,1a\n"
    table = read_samples(file(text, "samples.csv"))
    assert table.names == ("s1", "s2", "s3")
    assert table.columns["dex"].texts() == ["trt", "untrt", None]
    np.testing.assert_array_equal(table.columns["age"], [30, np.nan, 41.5])
    assert table.columns["batch"].levels == ("1a", "2a")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("sample\tx\n", ["only a header"]),
        ("sample\tx\ns1\ta\ns2\n", ["line 3", "2 cells", "got 1"]),
        ("sample\tx\tx\ns1\ta\tb\n", ["column 'x'"]),
        ("sample\tx\ns1\ta\ns1\tb\n", ["sample 's1' in rows 1 and 2"]),
    ],
)
def test_bad_samples(file, text, words):
    with pytest.raises(ValueError) as error:
        read_samples(file(text, "samples.tsv"))
    for word in words:
        assert word in str(error.value)


def test_samples_are_matched_by_name(file):
    counts = read(file(GOOD))
    table = SampleTable.from_columns(["s3", "s1", "s2"], {"x": ["c", "a", "b"]})
    same, samples = match_samples(counts, table)
    assert same.samples == samples.names == ("s1", "s2", "s3")
    assert samples.columns["x"].texts() == ["a", "b", "c"]
    few = table.take([0, 1])
    with pytest.raises(ValueError, match="'s2'.*--samples-subset"):
        match_samples(counts, few)
    part, samples = match_samples(counts, few, subset=True)
    assert part.samples == samples.names == ("s1", "s3")
    assert part.counts.tolist() == [[1, 0, 10], [3, 7, 30]]


def test_samples_that_do_not_match(file):
    counts = read(file(GOOD))
    table = SampleTable.from_columns(["p", "q", "s1"], {"run": ["s1", "s2", "s3"]})
    with pytest.raises(ValueError) as error:
        match_samples(counts, table)
    text = str(error.value)
    assert "'p', 'q'" in text and "'s1', 's2', 's3'" in text
    assert "put column 'run' of the sample table first" in text


@pytest.mark.parametrize("name", ["out.tsv", "out.tsv.gz"])
def test_results_are_written(tmp_path, name):
    path = tmp_path / name
    columns = {
        "padj": np.array([1 / 3, np.nan, 1e-300]),
        "n": np.array([1, 2, 3]),
        "type": ["x", "y", "z"],
    }
    write_gene_table(path, ["a", "b", "c"], columns)
    data = path.read_bytes()
    text = (gzip.decompress(data) if name.endswith("gz") else data).decode()
    assert text.splitlines() == [
        "gene\tpadj\tn\ttype",
        "a\t0.3333333333\t1\tx",
        "b\tNA\t2\ty",
        "c\t1e-300\t3\tz",
    ]
    assert [p.name for p in tmp_path.iterdir()] == [name]


def test_a_failed_write_leaves_the_older_file(tmp_path):
    path = tmp_path / "out.tsv"
    path.write_text("old\n")
    with pytest.raises(ValueError):
        write_gene_table(path, ["a"], {"x": np.array([1.0, 2.0])})
    assert path.read_text() == "old\n"
    assert [p.name for p in tmp_path.iterdir()] == ["out.tsv"]
