"""One file per thing that a user can ask for; the only joint of training and results."""
