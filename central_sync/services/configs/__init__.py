"""What the centre wants on devices: versions, checks, differences, jobs, templates, mappings."""
