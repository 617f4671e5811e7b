"""From a URL to its bytes: which addresses may be asked, how a host wants to be asked, and how much
of its answer is read.

`fetch` is the way in. It asks `ask` to follow redirects; each hop goes by `guard` and `names` (the
address), `robots` and `tdm` (leave), `pace` (the host's turn) and `slots` (ours) to `client` (one
request). `manners` holds what a host is granted, and reads the headers of its answers.
"""
