"""What is made of the results: claims, tables, pictures, a page."""
