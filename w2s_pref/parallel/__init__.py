"""The processes of one launch: how work is divided, and whether all of them still live."""
