"""Invoices as PDF, each with its own values, for every test that sends one."""


def large_invoice(size, **values):
    """An invoice of exactly this many bytes, most of them in an object that no page shows."""
    pdf = invoice_pdf(**values, ballast=max(0, size - 2000))
    return pdf + b"\n" * (size - len(pdf))


def invoice_pdf(
    number="INV-2024-001",
    vendor="Acme Corp",
    total=1234.56,
    currency="EUR",
    date="2024-01-15",
    ballast=0,
):
    lines = (
        f"Invoice number: {number}",
        f"Invoice date: {date}",
        f"Vendor: {vendor}",
        f"Currency: {currency}",
        f"Total amount: {total}",
    )
    shown = " ".join(f"({line}) Tj T*" for line in lines)
    content = f"BT /F1 12 Tf 16 TL 72 720 Td {shown} ET".encode()
    objects = (
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792]/Contents 4 0 R/Resources <</Font <</F1 5 0 R>>>>>>",
        b"<< /Length %d >>\nstream\n%s\nendstream" % (len(content), content),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
        b"<< /Length %d >>\nstream\n%s\nendstream" % (ballast, b"x" * ballast),
    )
    pdf, places = b"%PDF-1.4\n", []
    for number_of, body in enumerate(objects, 1):
        places.append(len(pdf))
        pdf += b"%d 0 obj\n%s\nendobj\n" % (number_of, body)
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    size, start = len(objects) + 1, len(pdf)
    return pdf + (
        b"xref\n0 %d\n0000000000 65535 f \n%strailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n"
        % (size, table, size, start)
    )
