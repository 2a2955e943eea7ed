"""A site in one sealed file: what of it is kept, and how it comes back."""
