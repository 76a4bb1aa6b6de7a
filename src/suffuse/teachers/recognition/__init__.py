"""Speech recognisers from outside, for the kind ``recogniser``: networks of transformers and of faster-whisper, the log
of what they recognised, and the table of transcripts."""
