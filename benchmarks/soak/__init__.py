"""Kills, damage and full disks for an hour: is anything lost?"""
