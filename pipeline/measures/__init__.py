"""What a confirmed model is worth, measured as clinicians do, from counts that hospitals sign."""
