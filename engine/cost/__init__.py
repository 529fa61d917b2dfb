"""What a step costs: memory and operations counted without any memory, and time from them."""
