"""What people say of answers: opinions, feedback, labels and what comes of them."""
