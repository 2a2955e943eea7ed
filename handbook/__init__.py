"""What docs/ and studies/ say from the code itself: each module makes one page or part.

`python -m handbook` writes them.
"""
