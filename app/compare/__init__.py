"""What the Compare page computes: which SAEs can stand side by side, how their atoms match, what they see in a picture."""
