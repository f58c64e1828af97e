"""BINARY"""
