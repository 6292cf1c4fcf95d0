"""Electronic seals (电子印章): GB/T 38540-2020 and GM/T 0031-2014, read, judged and made.
Original bytes are verified and never re-encoded. No document format (OFD, PDF) lives here.
"""
