"""The BlazePose family."""
