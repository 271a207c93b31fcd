"""What is erased, what is kept for how long, and what is encrypted or tokenised."""
