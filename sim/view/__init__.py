"""What a person looks at: run files, reports, pictures."""
