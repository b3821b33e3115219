"""How records leave: as streams of CSV, NDJSON or Parquet, and as the files of another system."""
