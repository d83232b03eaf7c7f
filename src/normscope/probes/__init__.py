"""What is measured inside a network, of any kind: nothing here trains."""
