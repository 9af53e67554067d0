"""What is written for others: the page, its numbers for programs, a publication."""
