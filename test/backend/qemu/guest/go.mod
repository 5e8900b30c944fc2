module testmachine

go 1.24
