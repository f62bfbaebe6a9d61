"""What a job needs beside science: files, checksums, logs, devices, memory."""
