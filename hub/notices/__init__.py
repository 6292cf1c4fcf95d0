"""Notices to applicants (通知书): what happened in a case as sealed OFD and signed PDF, one of each per event.
Templates are data; layout is pure; only the role writes files and rows. What a seal is stands in signing/.
"""
