"""The pages: complete HTML from the server, with small scripts for what a hand needs."""
