"""The PDF report: one page, its words read back, and the object around it."""

from dataclasses import replace
from io import BytesIO

import pytest
from pydicom import dcmread
from pypdf import PdfReader

from cad_node.findings import Caution, Remark
from cad_node.output.file import encode
from cad_node.output.pdf import build_pdf
from cad_node.output.report_text import marked_up
from tests.factory import altered, ct_study
from tests.interop.tools import dciodvfy_errors, run, tool
from tests.output import case


def built(volume, findings, title=None):
    return dcmread(BytesIO(encode(*build_pdf(volume, findings, case.run(title) if title else case.run()))))


def document(ds):
    return ds.EncapsulatedDocument[: ds.EncapsulatedDocumentLength]


def pages(ds):
    return PdfReader(BytesIO(document(ds))).pages


def words(ds):
    (page,) = pages(ds)
    return " ".join(page.extract_text().split())


def named(**values):
    return case.volume([altered(ds, SpecificCharacterSet="ISO_IR 192", **values) for ds in ct_study(slices=10)])


def many(volume, count):
    (one, *_) = case.measured_findings(volume).findings
    return replace(case.measured_findings(volume), findings=tuple(replace(one, label=f"Nodule {n}") for n in range(1, count + 1)))


def test_it_says_whose_it_is_what_was_found_and_that_it_wants_review():
    volume = case.volume()

    said = words(built(volume, case.measured_findings(volume)))

    for told in (
        "TEST-1",
        "3 nodules detected by the algorithm",
        "Right lung, upper zone",
        "80 %",
        "Not for diagnostic use without review",
    ):
        assert told in said
    assert volume.series_instance_uid in said
    assert "lung_nodule_ct 1.0.0, lung_segmentation_ct 1.2.3, cad_node 0.1.0" in said


def test_without_a_finding_it_says_so():
    volume = case.volume()

    assert "No nodule detected by the algorithm" in words(built(volume, case.findings(volume, nodules=0)))


@pytest.mark.parametrize("count", [1, 15, 40])
def test_it_stays_one_page_however_much_is_on_it(count):
    volume = case.volume()
    remarks = tuple(
        Remark(code, "a sentence that goes on about it, and takes more than one line of the page, as some do") for code in Caution
    )

    ds = built(volume, replace(many(volume, count), remarks=remarks))

    assert len(pages(ds)) == 1
    assert words(ds).count("To be considered") == len(Caution)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("Müller^Jürgen", "Müller Jürgen"),
        ("Łukasz^Żółć", "Łukasz Żółć"),
        ("Иванов^Иван", "Иванов Иван"),
        ("Wang^XiaoDong=王^小东", "Wang XiaoDong · 王 小东"),
        ("Yamada^Tarou=山田^太郎=やまだ^たろう", "山田 太郎 · やまだ たろう"),
        ("Hong^Gildong=洪^吉洞=홍^길동", "홍 길동"),
    ],
)
def test_names_of_any_script_can_be_read(name, told):
    volume = named(PatientName=name)

    said = words(built(volume, case.findings(volume)))

    assert told.replace(" ", "") in said.replace(" ", "")  # a line may end in it


def test_a_title_and_a_series_description_in_chinese_stand_as_they_are():
    volume = named(SeriesDescription="胸部 薄层")

    said = words(built(volume, case.findings(volume), title="肺结节 CT"))

    assert "肺结节 CT 1.0.0" in said
    assert "胸部 薄层" in said


def test_texts_from_the_source_are_no_markup():
    volume = named(PatientName="<b>A&B</b>^x", StudyDescription="</font><para>")

    said = words(built(volume, case.findings(volume)))

    assert "<b>A&B</b> x" in said
    assert "</font><para>" in said
    assert marked_up("a\x1bb") == "a b"


def test_the_object_says_what_it_holds_and_of_which_images():
    volume = case.volume()

    ds = built(volume, case.findings(volume))

    assert (ds.Modality, ds.MIMETypeOfEncapsulatedDocument, ds.BurnedInAnnotation) == ("DOC", "application/pdf", "YES")
    assert ds.ConceptNameCodeSequence[0].CodeValue == "112000"
    assert ds.DocumentTitle == "Chest CAD Report"
    assert [item.ReferencedSOPInstanceUID for item in ds.SourceInstanceSequence] == [source.SOPInstanceUID for source in volume.sources]
    assert len(ds.EncapsulatedDocument) % 2 == 0
    assert document(ds).rstrip().endswith(b"%%EOF")


def test_its_own_properties_do_not_name_the_patient():
    volume = named(PatientName="Secret^Name")

    about = PdfReader(BytesIO(document(built(volume, case.findings(volume))))).metadata

    assert "Secret" not in str(about)
    assert about.title == "Lung nodules on chest CT 1.0.0, report"


@pytest.mark.parametrize("nodules", [0, 3])
def test_dciodvfy_finds_no_error(nodules, tmp_path):
    volume = case.volume()
    file = tmp_path / "pdf.dcm"

    file.write_bytes(encode(*build_pdf(volume, case.measured_findings(volume, nodules), case.run())))

    assert dciodvfy_errors(file) == []


def test_dcmtk_takes_the_document_out(tmp_path):
    volume = case.volume()
    file = tmp_path / "pdf.dcm"
    (ds,) = build_pdf(volume, case.findings(volume), case.run())
    file.write_bytes(encode(ds))

    taken = run(tool("dcm2pdf", "Debian package dcmtk"), file, tmp_path / "report.pdf")

    assert taken.returncode == 0, taken.stderr
    assert (tmp_path / "report.pdf").read_bytes().startswith(ds.EncapsulatedDocument[: ds.EncapsulatedDocumentLength])
