# A death report frees the slot without reading what the dead NF had put out.
s|taken\[i\] = published\[i\];( +/\* drain \*/)|skip;\1|
