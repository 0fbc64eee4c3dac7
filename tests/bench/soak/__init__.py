"""Does the gateway stay the size that it is?"""
