"""OFD documents (版式文档, GB/T 33190-2016): read defensively, judged, sealed, and written in a small form.
What a seal is stands in signing/seals; what a notice says is no affair of this package.
"""
