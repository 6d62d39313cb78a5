"""The stages that studies share."""
