"""What docs/reference says from the code itself: each module makes one page; `python -m handbook` writes them."""
