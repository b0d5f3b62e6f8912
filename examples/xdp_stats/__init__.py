"""Count the packets that an interface receives, with a program that clang compiled."""
