"""Data sets for training: COCO, VOC and YOLO text in one form, and what is wrong with them."""
