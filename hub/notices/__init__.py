"""Notices to applicants (通知书): what happened in a case, sealed as OFD and signed as PDF.
One pair for each event. Templates are data; layout is pure; only the role writes files and rows. What a seal
is stands in signing/.
"""
