"""The border with files: alignments, references, variants, intervals."""
