"""How files of others enter: records as a file knows them, who is who, judging, storing."""
